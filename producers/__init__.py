"""The shipper: knows files and Kafka, and nothing of mail. Imports nothing from the other packages."""
