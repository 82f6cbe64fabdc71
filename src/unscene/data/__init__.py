"""Folders, CSV files and official lists -> catalogs of videos, and batches of clips."""
