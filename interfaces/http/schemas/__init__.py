"""The shapes of requests and answers: what is taken, what is given, and what the documents say."""
