package packet

// Encode undoes [Decode].
func Encode(p Packet) []byte {
	if p.Engine != Message {
		return append([]byte{byte(p.Engine)}, p.Data...)
	}
	return append(appendHead(nil, p.Type, p.Namespace, p.ID), p.Data...)
}
