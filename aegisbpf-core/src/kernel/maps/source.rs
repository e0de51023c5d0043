//! Where maps are taken from: the object that this process loaded, or pins.

use aya::{
    Ebpf,
    maps::{Map, MapData, MapError},
};

use crate::{
    error::{Error, Result},
    kernel::pins::Pins,
};

/// See the module.
pub(crate) enum Source<'a> {
    /// A loaded object, which gives each map once.
    Object(&'a mut Ebpf),
    /// Pins. They are opened as they are; loading the object again over them would wipe the filter.
    Pins(&'a Pins),
}

impl Source<'_> {
    /// The map of this name in the object.
    ///
    /// # Errors
    /// If it is missing or of another type: the object is not the one this library was built with.
    pub(super) fn take<T>(&mut self, name: &str) -> Result<T>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        let map = match self {
            Self::Object(ebpf) => ebpf.take_map(name).ok_or_else(|| {
                Error::kernel(
                    format!("finding the map {name}"),
                    "it is not in the embedded object",
                )
            })?,
            Self::Pins(pins) => MapData::from_pin(pins.map(name))
                .and_then(Map::from_map_data)
                .map_err(|e| Error::kernel(format!("opening the pinned map {name}"), e))?,
        };
        T::try_from(map).map_err(|e| Error::kernel(format!("opening the map {name}"), e))
    }
}
