//! Compares a file of a set with the file of the same name that is compiled in. Contracts only grow, so a set may have an older copy: it
//! says nothing that the newer one does not say. What a newer copy says beside it would be lost.

use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

/// What `theirs` says and `ours` does not, by its name. Comments and options are not compared: ours are in force.
pub(super) fn missing(ours: &FileDescriptorProto, theirs: &FileDescriptorProto) -> Option<String> {
    for service in &theirs.service {
        let mut known = ours.service.iter();
        let Some(known) = known.find(|known| known.name() == service.name()) else {
            return Some(service.name().to_owned());
        };
        for method in &service.method {
            let has = known.method.iter().any(|known| {
                known.name() == method.name()
                    && known.input_type() == method.input_type()
                    && known.output_type() == method.output_type()
                    && known.client_streaming() == method.client_streaming()
                    && known.server_streaming() == method.server_streaming()
            });
            if !has {
                return Some(format!("{}.{}", service.name(), method.name()));
            }
        }
    }
    field(&ours.extension, &theirs.extension)
        .or_else(|| value(&ours.enum_type, &theirs.enum_type))
        .or_else(|| message(&ours.message_type, &theirs.message_type))
}

fn message(ours: &[DescriptorProto], theirs: &[DescriptorProto]) -> Option<String> {
    theirs.iter().find_map(|message| {
        let Some(known) = ours.iter().find(|known| known.name() == message.name()) else {
            return Some(message.name().to_owned());
        };
        let within = field(&known.field, &message.field)
            .or_else(|| field(&known.extension, &message.extension))
            .or_else(|| value(&known.enum_type, &message.enum_type))
            .or_else(|| self::message(&known.nested_type, &message.nested_type))?;
        Some(format!("{}.{within}", message.name()))
    })
}

fn value(ours: &[EnumDescriptorProto], theirs: &[EnumDescriptorProto]) -> Option<String> {
    theirs.iter().find_map(|values| {
        let Some(known) = ours.iter().find(|known| known.name() == values.name()) else {
            return Some(values.name().to_owned());
        };
        let mut values = values.value.iter().filter(|value| {
            let mut known = known.value.iter();
            !known.any(|known| known.name() == value.name() && known.number() == value.number())
        });
        let value = values.next()?;
        Some(format!("{}.{}", known.name(), value.name()))
    })
}

fn field(ours: &[FieldDescriptorProto], theirs: &[FieldDescriptorProto]) -> Option<String> {
    let says = |field: &FieldDescriptorProto| FieldDescriptorProto {
        // Compilers differ in whether they write the name that follows from the other.
        json_name: None,
        options: None,
        ..field.clone()
    };
    let mut unknown = theirs
        .iter()
        .filter(|field| !ours.iter().any(|known| says(known) == says(field)));
    Some(unknown.next()?.name().to_owned())
}
