package protocol

import "strconv"

// Append appends the text of p to dst and returns the extended slice: the inverse
// of Parse. The namespace is written only when it is not "/", and then always with
// its comma. Attachments follow the text as binary messages of their own, in order.
//
// Append checks nothing. The caller vouches that p is one Parse could return: no
// comma in the namespace (it would end there), Data that is Valid, and a positive
// number of attachments on a binary packet. Event is not looked at.
func Append(dst []byte, p Packet) []byte {
	dst = append(dst, '0'+byte(p.Type))
	if p.Type.Binary() {
		dst = strconv.AppendInt(dst, int64(p.Attachments), 10)
		dst = append(dst, '-')
	}
	if len(p.Namespace) > 0 && string(p.Namespace) != "/" {
		dst = append(dst, p.Namespace...)
		dst = append(dst, ',')
	}
	dst = append(dst, p.ID...)
	return append(dst, p.Data...)
}
