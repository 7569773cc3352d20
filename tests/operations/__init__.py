"""What operators are given: metrics, dashboard and alert rules, by a real Prometheus; the doctor; the live table."""
