"""Whether a student was trained on our outputs: methods that only look into it, and change no answer."""
