"""The broker on RabbitMQ, through aio-pika's driver. Import its modules one by one: the driver is slow to load."""
