"""Frames or motion vectors -> what moves."""
