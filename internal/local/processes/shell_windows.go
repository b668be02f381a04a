package processes

// shell runs a command as it is written.
func shell(command string) []string { return []string{"cmd", "/c", command} }
