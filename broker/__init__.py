"""An embeddable, hardened MQTT broker on amqtt. It knows no cinema."""
