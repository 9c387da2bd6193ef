"""What is given away with a paper: a kept table with all that it stands on, and in words how it was made."""
