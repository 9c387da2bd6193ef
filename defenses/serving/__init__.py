"""Before the API opens: another model in the teacher's place."""
