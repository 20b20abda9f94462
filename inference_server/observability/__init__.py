"""What is counted: requests, their times, predictions; and how it is exported."""
