"""Tables, plots and sentences of simulated campaigns. Knows only what campaigns leave behind, not how they are
simulated."""
