"""What providers tell each other of clusters that they found: indicators, and the board where they are read."""
