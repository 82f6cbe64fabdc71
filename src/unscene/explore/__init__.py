"""An index -> a page in the browser: watch, find, name and correct moments."""
