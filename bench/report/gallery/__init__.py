"""`temper pictures`: what the models of a run rest on, drawn from its records. No torch, but for what is not stored."""
