"""What every long-running part needs: settings, errors, logs, health, Kafka, memory."""
