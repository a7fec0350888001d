"""The conversation as pure logic, on a simulated clock."""
