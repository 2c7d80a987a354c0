"""What goes in: tables of events, labels, the planted population, splits."""
