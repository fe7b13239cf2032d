package siotest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// encode returns arguments as a JSON array, and those that are binary as attachments.
func encode(args []any) (text string, attachments [][]byte, err error) {
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a
		if b, ok := a.([]byte); ok {
			values[i] = json.RawMessage(fmt.Sprintf(`{"_placeholder":true,"num":%d}`, len(attachments)))
			attachments = append(attachments, b)
		}
	}
	array, err := json.Marshal(values)
	if args == nil {
		array = []byte("[]")
	}
	return string(array), attachments, err
}

// wanted returns how many attachments a packet says it has.
func wanted(message string) int {
	if message[0] != '5' && message[0] != '6' {
		return 0
	}
	digits, _, _ := strings.Cut(message[1:], "-")
	n, _ := strconv.Atoi(digits)
	return n
}

// show puts attachments where their placeholders are, and takes their number away.
func show(message string, attachments []frame) string {
	n := wanted(message)
	if n == 0 {
		return message
	}
	_, rest, _ := strings.Cut(message, "-")
	placeholder := regexp.MustCompile(`\{"_placeholder":true,"num":(\d+)\}`)
	return message[:1] + placeholder.ReplaceAllStringFunc(rest, func(p string) string {
		i, _ := strconv.Atoi(placeholder.FindStringSubmatch(p)[1])
		if i >= len(attachments) {
			return p
		}
		return fmt.Sprintf("<%x>", attachments[i].binary)
	})
}
