"""What the log alone does not say: accounts, hosted domains, reasons and providers."""
