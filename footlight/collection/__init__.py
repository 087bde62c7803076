"""Experience that other processes collect: what they do, how they are asked, and what is lost."""
