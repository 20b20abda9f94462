"""What a step is made of: its type, its settings, and what it may use besides the model."""
