"""Views -> a picture to look at before training."""
