package access

import (
	"errors"
	"fmt"
)

// Issuer is an issuer of tokens of version 1.0, with its keys.
type Issuer struct {
	// What the issuer calls itself (`iss`): the app's URL if the app signs, else the authorization server's.
	Issuer string `json:"issuer"`

	// Whether the hub's metadata names it as an authorization server, which clients can ask for tokens. Default: false.
	AuthorizationServer bool `json:"authorization_server,omitempty"`

	// What signs its publishers' tokens. Default: none, they are refused.
	Publisher *Key `json:"publisher,omitempty"`

	// What signs its subscribers' tokens. Default: none, they are refused.
	Subscriber *Key `json:"subscriber,omitempty"`
}

// Check reports what is wrong with the issuer.
func (i *Issuer) Check() error {
	switch {
	case i.Issuer == "":
		return errors.New("its name is missing")
	case i.Publisher == nil && i.Subscriber == nil:
		return errors.New("needs publisher, subscriber, or both: none of its tokens would be accepted")
	}
	if err := CheckOption("publisher", i.Publisher); err != nil {
		return err
	}
	return CheckOption("subscriber", i.Subscriber)
}

// CheckOption reports what is wrong with the key of an option, which may be absent.
func CheckOption(option string, k *Key) error {
	if k == nil {
		return nil
	}
	if err := k.Check(); err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	return nil
}
