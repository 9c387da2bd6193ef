"""A defense that shows both ends of a trace and hides its middle."""
