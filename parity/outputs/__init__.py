"""What a report is turned into: files for people, pipelines and monitors."""
