"""What all HTML pages are made of: one file that opens offline, from text, numbers and pictures."""
