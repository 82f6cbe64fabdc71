"""Words, numbers and pictures -> one HTML file that opens offline: what all reports are made of."""
