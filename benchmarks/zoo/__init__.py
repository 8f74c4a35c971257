"""Small models of many habits, and what the released commands make of them."""
