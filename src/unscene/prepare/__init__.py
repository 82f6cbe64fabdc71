"""A folder of videos -> a checked folder of videos made for training."""
