package protocol

// MaxDepth is how deep arrays and objects may be nested in data. With all that a frame has around it in any dialect that is 64 at most,
// which is where readers of JSON end that say least: .NET's
// (https://learn.microsoft.com/dotnet/api/system.text.json.jsonreaderoptions.maxdepth); Ruby's ends at 100, Rust's serde_json at 128.
// One event that a client cannot read would keep it out of its room for as long as the log has it.
const MaxDepth = 56

// CheckDepth refuses data that is nested deeper than MaxDepth. It must be JSON, or empty.
func CheckDepth(data []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else {
				quoted = c != '"'
			}
		case c == '"':
			quoted = true
		case c == '[', c == '{':
			if depth++; depth > MaxDepth {
				return Errorf(CodeBadRequest, "data may be nested %d deep, this is deeper", MaxDepth)
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return nil
}
