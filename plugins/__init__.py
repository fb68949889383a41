"""What the box does with messages: amqtt plugins, one capability each."""
