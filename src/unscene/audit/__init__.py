"""Weights -> insight: does this model watch the motion or the scene?"""
