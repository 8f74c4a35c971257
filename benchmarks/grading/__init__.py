"""What benchmarks/graded.py is made of: kept marks, attacks, hosts, replays, liars and redrawn secrets."""
