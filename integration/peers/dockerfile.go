package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

func stages(text string) ([]instructions.Stage, []instructions.ArgCommand, rune, error) {
	read, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, nil, 0, err
	}
	// Its remarks aren't asked for.
	quiet := linter.New(&linter.Config{Warn: func(string, string, string, string, []parser.Range) {}})
	stages, args, err := instructions.Parse(read.AST, quiet)
	return stages, args, read.EscapeToken, err
}

// fromImages fills in the bases as dockerfile2llb does: global ARGs in their order, then FROM.
func fromImages(question []byte) (any, error) {
	var asked struct {
		Text string            `json:"text"`
		Args map[string]string `json:"args"`
	}
	if err := json.Unmarshal(question, &asked); err != nil {
		return nil, err
	}
	stages, metaArgs, escape, err := stages(asked.Text)
	if err != nil {
		return nil, err
	}
	lex := shell.NewLex(escape)
	known := variables{}
	for _, name := range []string{"TARGET", "BUILD"} {
		known = append(known, name+"PLATFORM=linux/amd64", name+"OS=linux", name+"OSVERSION=", name+"ARCH=amd64", name+"VARIANT=")
	}
	known = append(known, "TARGETSTAGE=default")
	for _, command := range metaArgs {
		for _, arg := range command.Args {
			if arg.Value != nil {
				result, err := lex.ProcessWordWithMatches(*arg.Value, known)
				if err != nil {
					return nil, err
				}
				arg.Value = &result.Result
			}
			if given, ok := asked.Args[arg.Key]; ok {
				arg.Value = &given
			}
			if arg.Value != nil {
				known = known.with(arg.Key, *arg.Value)
			}
		}
	}
	images := []string{}
	for _, stage := range stages {
		result, err := lex.ProcessWordWithMatches(stage.BaseName, known)
		if err != nil {
			return nil, err
		}
		if result.Result == "" {
			return nil, fmt.Errorf("base name (%s) should not be blank", stage.BaseName)
		}
		images = append(images, result.Result)
	}
	return images, nil
}

func readDockerfile(question []byte) (any, error) {
	var text string
	if err := json.Unmarshal(question, &text); err != nil {
		return nil, err
	}
	stages, _, _, err := stages(text)
	if err != nil {
		return nil, err
	}
	return len(stages), nil
}

type variables []string

func (v variables) with(key, value string) variables {
	kept := variables{}
	for _, pair := range v {
		if name, _, _ := strings.Cut(pair, "="); name != key {
			kept = append(kept, pair)
		}
	}
	return append(kept, key+"="+value)
}

func (v variables) Get(key string) (string, bool) {
	for _, pair := range v {
		if name, value, _ := strings.Cut(pair, "="); name == key {
			return value, true
		}
	}
	return "", false
}

func (v variables) Keys() []string {
	keys := []string{}
	for _, pair := range v {
		name, _, _ := strings.Cut(pair, "=")
		keys = append(keys, name)
	}
	return keys
}
