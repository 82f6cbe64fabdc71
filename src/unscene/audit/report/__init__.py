"""Results of an audit -> one HTML page."""
