"""The ablations of Tables IV and VI as networks, and the study that compares them."""
