"""Measures of an audit, one file each."""
