"""What one account asks, judged window by window or by its habits."""
