"""What proposes trials: KerasTuner's oracles behind one safety net."""
