"""Scores -> rows, confidence intervals, tables and plots."""
