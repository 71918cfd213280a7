"""Other task systems on the same RabbitMQ, in the same run."""
