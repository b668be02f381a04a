package template

import "cmp"

const (
	typeTable       = "AWS::DynamoDB::Table"
	typeGlobalTable = "AWS::DynamoDB::GlobalTable"
	typeSimpleTable = "AWS::Serverless::SimpleTable"
)

// Table is a DynamoDB table, in the words of CreateTable.
type Table struct {
	ID   string // logical id
	Name string // TableName, or the logical id

	Attributes []TableAttribute
	Key        []TableKey
	Global     []TableIndex
	Local      []TableIndex
	OnDemand   bool // BillingMode is PAY_PER_REQUEST
	Throughput TableThroughput
	TTL        string // the attribute with the expiry, empty if that is off
	Stream     string // StreamViewType, empty if there is no stream
}

// TableAttribute is an attribute that a key uses.
type TableAttribute struct {
	Name string `yaml:"AttributeName"`
	Type string `yaml:"AttributeType"` // S, N or B
}

// TableKey is one element of a key.
type TableKey struct {
	Name string `yaml:"AttributeName"`
	Type string `yaml:"KeyType"` // HASH or RANGE
}

// TableThroughput is what a provisioned table has per second.
type TableThroughput struct {
	Read  int64 `yaml:"ReadCapacityUnits"`
	Write int64 `yaml:"WriteCapacityUnits"`
}

// TableIndex is a secondary index.
type TableIndex struct {
	Name       string          `yaml:"IndexName"`
	Key        []TableKey      `yaml:"KeySchema"`
	Throughput TableThroughput `yaml:"ProvisionedThroughput"`
	Projection TableProjection `yaml:"Projection"`
}

// TableProjection is what an index holds besides keys.
type TableProjection struct {
	Type       string   `yaml:"ProjectionType"` // ALL, KEYS_ONLY or INCLUDE
	Attributes []string `yaml:"NonKeyAttributes"`
}

type tableProps struct {
	Attributes []TableAttribute `yaml:"AttributeDefinitions"`
	Key        []TableKey       `yaml:"KeySchema"`
	Global     []TableIndex     `yaml:"GlobalSecondaryIndexes"`
	Local      []TableIndex     `yaml:"LocalSecondaryIndexes"`
	Billing    string           `yaml:"BillingMode"`
	Throughput *TableThroughput `yaml:"ProvisionedThroughput"`
	TTL        struct {
		Name    string `yaml:"AttributeName"`
		Enabled bool   `yaml:"Enabled"`
	} `yaml:"TimeToLiveSpecification"`
	Stream struct {
		View string `yaml:"StreamViewType"`
	} `yaml:"StreamSpecification"`
	Primary struct { // SAM's
		Name string `yaml:"Name"`
		Type string `yaml:"Type"`
	} `yaml:"PrimaryKey"`
}

func (r *reader) readTables() error {
	for res := range r.of(typeTable, typeGlobalTable, typeSimpleTable) {
		var p tableProps
		if err := r.decode(res, &p); err != nil {
			return err
		}
		name, err := r.nameOf(res)
		if err != nil {
			return err
		}
		table := Table{
			ID: res.id, Name: name,
			Attributes: p.Attributes, Key: p.Key, Global: p.Global, Local: p.Local,
			OnDemand: p.Billing == "PAY_PER_REQUEST", Stream: p.Stream.View,
		}
		if p.TTL.Enabled {
			table.TTL = p.TTL.Name
		}
		if p.Throughput != nil {
			table.Throughput = *p.Throughput
		}
		if res.kind == typeSimpleTable {
			table.simple(p)
		}
		if len(table.Key) == 0 {
			return res.errorf("the table has no KeySchema")
		}
		r.out.Tables = append(r.out.Tables, table)
	}
	return nil
}

// simple applies the defaults of a SAM table: one key, named id, of text.
func (t *Table) simple(p tableProps) {
	name := cmp.Or(p.Primary.Name, "id")
	kind := map[string]string{"Number": "N", "Binary": "B"}[p.Primary.Type]
	t.Attributes = []TableAttribute{{Name: name, Type: cmp.Or(kind, "S")}}
	t.Key = []TableKey{{Name: name, Type: "HASH"}}
	t.OnDemand = p.Throughput == nil
}
