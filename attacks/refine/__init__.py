"""What an attacker does after distillation, without the teacher."""
