"""A row of a paper's table, from the data to the numbers."""
