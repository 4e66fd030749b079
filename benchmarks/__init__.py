"""Measurements of the course: samplers and forms, growth, many schools."""
