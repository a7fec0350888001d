"""A spoken conversation as pure logic, without a device: who speaks, what is prepared, what was
heard."""
