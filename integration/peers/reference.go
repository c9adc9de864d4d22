package main

import (
	"encoding/json"

	"github.com/distribution/reference"
)

func readReference(question []byte) (any, error) {
	var text string
	if err := json.Unmarshal(question, &text); err != nil {
		return nil, err
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return nil, err
	}
	return reference.TagNameOnly(named).String(), nil
}
