"""Tests of whole processes: what was stored, crashes, kills, workers, SDKs."""
